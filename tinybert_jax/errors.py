"""The one error that a user can mend: command lines print it as a sentence, without a traceback."""


class InputError(ValueError):
  """Bad input from outside: a file, an option, a model or a data set that does not fit.

  The message is one sentence that names the file, row or option, says what is wrong and what
  would be right.
  """
