"""A GLUE task from a pretrained BERT to a distilled student, in stages."""
