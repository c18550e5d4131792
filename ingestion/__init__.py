"""From a source of documents to an immutable, queryable snapshot."""
