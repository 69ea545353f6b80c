"""The ground floor of everything on disk: errors, whole writes, bounded reads, locks; and processes that answer."""
