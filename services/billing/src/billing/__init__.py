"""Subscriptions and the ledger: who has which plan since when, and one line for every request that ended."""
