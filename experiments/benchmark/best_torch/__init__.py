"""The best PyTorch we can write: ours must win by what JAX gives, not by what the original leaves undone.

No dropout and no gradient graph in the teacher, scores of the mapped layers alone and fused attention in the others,
query, key and value in one product, no mask where sequences are full, the last layer for the tokens that are read, a
fused optimizer, `torch.compile`; with bfloat16 what does not learn is all in bfloat16, and the student under autocast.
"""

from experiments.benchmark.best_torch.general import intermediate_loss, make_step
from experiments.benchmark.best_torch.model import Classifier, Encoder, MaskedLanguageModel, Student

__all__ = ["Classifier", "Encoder", "MaskedLanguageModel", "Student", "intermediate_loss", "make_step"]
