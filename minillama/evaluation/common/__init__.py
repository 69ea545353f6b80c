"""The nouns of evaluation: requests and answers, tasks, documents and items."""
