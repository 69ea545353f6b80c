"""`minillama align`: the recipe from a base model to one that chats."""
