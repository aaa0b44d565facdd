"""The starter model `hftune:gpt2-mini`; corpus.py makes the texts that it was pretrained on."""
