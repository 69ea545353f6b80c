"""The recipe: every stage of LLaMA 2-Chat in a row, from a base model to one that chats (section 3 of the paper)."""
