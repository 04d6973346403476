"""The process that owns the disk: records, journal, ledger."""
