"""The ground floor: files, folders and processes, without a word about models."""
