"""That types and shapes are checked while the tests run, as `addopts` in setup.cfg says."""

import jax.numpy as jnp
import numpy as np
import pytest

from tinybert_jax.distillation.losses import logit_loss


@pytest.mark.parametrize("array", [jnp.zeros, np.zeros])
def test_shapes_that_disagree_with_an_annotation_are_errors(array, request):
  if not request.config.getoption("jaxtyping_packages"):
    pytest.skip("the types are not checked in this run")
  with pytest.raises(TypeError, match="teacher_logits"):
    logit_loss(array((2, 3), np.float32), array((2, 4), np.float32))


@pytest.mark.usefixtures("unchecked")
def test_unchecked_the_library_says_it_itself():
  with pytest.raises(ValueError, match="logits differ in shape"):
    logit_loss(jnp.zeros((2, 3)), jnp.zeros((2, 4)))
