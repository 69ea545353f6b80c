"""Documents that say the same: exact and near duplicates of a collection."""
