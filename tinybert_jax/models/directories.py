"""Directories that are written whole or not at all, and files that are replaced in a directory of the user's."""

import contextlib
import glob
import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from tinybert_jax.errors import InputError

_NEW = ".saving"  # made and removed inside the directory that is written


def make_directory(directory: str | os.PathLike) -> None:
  """Makes a directory, with those above it, if need be; where it is a link, what the link names."""
  _real_directory(directory).mkdir(parents=True, exist_ok=True)


def remove_directory(directory: Path) -> None:
  """Removes a directory with its content; where it is a link, the content of what the link names."""
  if directory.is_symlink():
    for path in directory.iterdir():
      _remove(path)
  else:
    shutil.rmtree(directory)


@contextlib.contextmanager
def replace_file(path: str | os.PathLike) -> Iterator[Path]:
  """Gives the name of a new file beside `path`, and puts it in its place when the block ends well.

  Where `path` is a link, what the link names is replaced.
  """
  real = Path(os.path.realpath(path))
  make_directory(real.parent)
  new = real.with_name(f".{real.name}.new")
  try:
    yield new
    new.replace(real)
  finally:
    new.unlink(missing_ok=True)


@contextlib.contextmanager
def replace_directory(directory: str | os.PathLike) -> Iterator[Path]:
  """Gives an empty directory to write to, and puts it in `directory`'s place when the block ends well.

  Everything that stood in `directory` goes. Where it is a link, what the link names is replaced. A directory that
  cannot be moved, such as the root of a disk, stays, and its content is replaced.

  Raises:
    InputError: a file stands at that place.
  """
  directory = _real_directory(directory)
  directory.parent.mkdir(parents=True, exist_ok=True)
  stays = directory.exists() and (os.path.ismount(directory) or not os.access(directory.parent, os.W_OK))
  new = directory / _NEW if stays else directory.with_name(f".{directory.name}.{secrets.token_hex(4)}")
  shutil.rmtree(new, ignore_errors=True)  # left there by a process that was killed
  new.mkdir()  # and not by tempfile, whose directories are for their owner alone
  try:
    yield new
    if stays:
      _replace_content(directory, new)
    elif directory.exists():
      old = new.with_name(new.name + ".old")
      directory.rename(old)
      new.rename(directory)
      shutil.rmtree(old)
    else:
      new.rename(directory)
  finally:
    shutil.rmtree(new, ignore_errors=True)


def replace_link(link: Path, target: Path) -> None:
  """Has `link` lead to `target`, which need not be there yet; another link at that place goes, anything else stays.

  Raises:
    InputError: a file or a directory stands at that place.
  """
  if link.exists() and not link.is_symlink():
    raise InputError(f"{link}: it is to be a link to {target}; move it away")
  relative = os.path.relpath(target.absolute(), Path(os.path.realpath(link.parent)))
  if link.is_symlink() and os.readlink(link) == relative:
    return
  make_directory(link.parent)
  new = link.with_name(f".{link.name}.link")
  new.unlink(missing_ok=True)  # left there by a process that was killed
  new.symlink_to(relative)
  new.replace(link)


def clear_leftovers(directory: str | os.PathLike) -> None:
  """Removes what `replace_directory` leaves where its process is killed; what it had moved away comes back.

  Only where no other process may write there now.
  """
  directory = _real_directory(directory)
  for path in sorted(directory.parent.glob(f".{glob.escape(directory.name)}.*")):
    kind = re.fullmatch(r"[0-9a-f]{8}(\.old)?", path.name.removeprefix(f".{directory.name}."))
    if kind and kind[1] and not directory.exists():
      path.rename(directory)
    elif kind:
      shutil.rmtree(path)


@contextlib.contextmanager
def replace_files(directory: str | os.PathLike, stale: Collection[str] = ()) -> Iterator[Path]:
  """Gives an empty directory to write to, and moves its files into `directory` when the block ends well.

  Files of the same names are replaced, and those that `stale` names are removed; everything else in `directory`
  stays. Until all is written nothing is changed. Where `directory` or a file in it is a link, what the link names is
  replaced.

  Args:
    directory: made if need be.
    stale: patterns of names, as in `Path.glob`.

  Raises:
    InputError: a file stands at that place.
  """
  directory = _real_directory(directory)
  existed = directory.is_dir()
  directory.mkdir(parents=True, exist_ok=True)
  new = directory / _NEW
  shutil.rmtree(new, ignore_errors=True)  # left there by a process that was killed
  try:
    new.mkdir()
    yield new
    names = {path.name for path in new.iterdir()}
    _move_files(new, directory)
    for pattern in stale:
      for path in directory.glob(pattern):
        if path.name not in names and (path.is_file() or path.is_symlink()):
          path.unlink()
  except BaseException:
    shutil.rmtree(new, ignore_errors=True)
    if not existed:
      with contextlib.suppress(OSError):
        directory.rmdir()
    raise
  shutil.rmtree(new, ignore_errors=True)


def _replace_content(directory: Path, new: Path) -> None:
  """Moves the content of `new`, a directory in `directory`, to the place of everything else there."""
  for path in directory.iterdir():
    if path != new:
      _remove(path)
  for path in new.iterdir():
    path.rename(directory / path.name)


def _remove(path: Path) -> None:
  if path.is_dir() and not path.is_symlink():
    shutil.rmtree(path)
  else:
    path.unlink()


def _real_directory(directory: str | os.PathLike) -> Path:
  """Returns the directory that a path names, through links."""
  real = Path(os.path.realpath(directory))
  if real.exists() and not real.is_dir():
    raise InputError(f"{directory}: a file stands there, and a directory is to be written; give another name")
  return real


def _move_files(source: Path, directory: Path) -> None:
  """Moves files to a directory, in the place of others or of what those link to; first all are put beside them."""
  moves = []
  try:
    for path in sorted(source.iterdir()):
      target = directory / path.name
      if target.is_symlink() and not _is_in_hub_cache(target):
        target = Path(os.path.realpath(target))
      if target.is_dir():
        raise InputError(f"{target}: a directory stands where a file is to be written; move it away")
      if target.parent == directory:
        moves.append((path, target))
        continue
      beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")  # perhaps on another disk
      moves.append((beside, target))
      shutil.copy(path, beside)
    for path, target in moves:
      path.replace(target)
  finally:
    for path, _ in moves:
      path.unlink(missing_ok=True)


def _is_in_hub_cache(link: Path) -> bool:
  """Whether a link leads to the hub's cache, whose files are other models' too and must not change."""
  return Path(os.path.realpath(link)).parent.name == "blobs"
