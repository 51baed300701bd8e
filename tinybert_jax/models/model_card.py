"""The `README.md` of a saved model directory."""

from tinybert_jax.models.config import EncoderConfig


def model_card(config: EncoderConfig, architecture: str, parameters: int, description: str = "") -> str:
  """Returns a short Hugging Face model card.

  Args:
    config: the model's shape and label names.
    architecture: the name of its transformers class, such as "BertForSequenceClassification".
    parameters: their number.
    description: a paragraph on what the model is.
  """
  auto = "AutoModel" + architecture.removeprefix("BertModel").removeprefix("Bert")
  labels = f"\n- labels: {', '.join(config.labels)}" if "Classification" in architecture else ""
  return f"""---
library_name: transformers
tags: [bert, tinybert, distillation]
---

# {architecture}, {config.num_hidden_layers} layers x {config.hidden_size}

{description or "A BERT written by tinybert_jax."}

- parameters: {parameters:,}
- layers {config.num_hidden_layers}, hidden size {config.hidden_size}, heads {config.num_attention_heads}, \
feed-forward {config.intermediate_size}, vocabulary {config.vocab_size}{labels}

```python
from transformers import {auto}, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("path/to/this/directory")
model = {auto}.from_pretrained("path/to/this/directory")
```

Made with tinybert_jax, a JAX implementation of TinyBERT (https://arxiv.org/abs/1909.10351).
"""
