"""General distillation: a pretrained BERT and raw text in, a general student out."""
