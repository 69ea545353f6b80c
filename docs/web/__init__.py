"""How the web edition is made of the repository's own texts: staging.py lays the sources out, conf.py renders them."""
