"""Identities in memory: keys, pseudonyms, budget, lockdown."""
