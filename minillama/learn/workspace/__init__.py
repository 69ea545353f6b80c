"""The learner's folder: files and progress, and checks in processes that may loop, crash or take all memory."""
