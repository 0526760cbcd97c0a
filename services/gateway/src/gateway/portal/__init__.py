"""The portal: documentation, sign-in, tokens, tester, usage and plans, as pages that the gateway renders."""
