"""What billing decides, without I/O.

`lines` what a ledger line says · `chain` its place and its hash · `settling` which settlement wins · `corrections`
what staff may put right · `closes` what a closed day says · `subscriptions` plans and grants
"""
