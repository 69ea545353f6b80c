"""The ground floor of everything on disk: errors, writes that are whole or not there, bounded reads, locks."""
