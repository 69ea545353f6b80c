"""From a model to text: sessions, sampling, generation, chat."""
