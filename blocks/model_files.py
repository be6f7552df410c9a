"""Model files: written and read with skops, never as a pickle, which runs code when it is loaded."""

import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from firebreak.blocks.registry_errors import ModelRefused

SUFFIX = ".skops"
LARGEST = 2_000_000_000  # bytes, unpacked

# Besides what skops itself trusts (scikit-learn's public estimators, NumPy's and SciPy's types). Trees aren't
# among them: scikit-learn takes their arrays as they are, so a forged one reads outside its memory.
TRUSTED = frozenset(
    {
        "scipy.sparse._csr.csr_matrix",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.metrics._scorer._PassthroughScorer",
        "sklearn.model_selection._split.StratifiedKFold",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.utils._bunch.Bunch",
    }
)


def write_model(model: Any, path: Path, also_trusted: Iterable[str] = ()) -> None:
    """Write a fitted estimator. Errors: ModelRefused (``read_model`` would not read it again)."""
    import skops.io

    try:
        skops.io.dump(model, path)
    except Exception as error:
        raise ModelRefused(f"{type(model).__name__} can't be kept by skops: {_say(error)}") from error
    read_model(path, type(model).__name__, also_trusted)


def read_model(path: Path, name: str, also_trusted: Iterable[str] = ()) -> Any:
    """The estimator in a skops file. ``name`` is what errors call it. Errors: ModelRefused."""
    import skops.io

    _check(path, name)
    trusted = TRUSTED | set(also_trusted)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a file that another release of scikit-learn wrote
            unknown = sorted(set(skops.io.get_untrusted_types(file=path)))
            refused = [found for found in unknown if found not in trusted]
            model = None if refused else skops.io.load(path, trusted=unknown)
    except Exception as error:
        raise ModelRefused(f"model {name} can't be read: {_say(error)}; register it again") from error
    if refused:
        raise ModelRefused(
            f"model {name} holds types that aren't trusted: {', '.join(refused)[:500]}; if they belong to your "
            "model, add them to trusted_types in the block model-registry"
        )
    if not hasattr(model, "predict"):
        raise ModelRefused(f"model {name} is a {type(model).__name__}, which can't predict; register an estimator")
    return model


def with_probabilities(model: Any, name: str) -> Any:
    """The model, if it may serve. Errors: ModelRefused (it can't say how sure it is)."""
    if not hasattr(model, "predict_proba"):
        raise ModelRefused(
            f"model {name} is a {type(model).__name__} without predict_proba, and the router needs probabilities; "
            "register an estimator that has it"
        )
    return model


def model_file(got: Path, name: str) -> Path:
    """The model among what was downloaded: the file itself, or the one skops file of a folder (as MLflow's own
    flavours write it). Errors: ModelRefused."""
    if got.is_file():
        return got
    found = sorted(got.rglob(f"*{SUFFIX}"))
    if len(found) != 1:
        raise ModelRefused(
            f"model {name}: one skops file is needed, there are {len(found)}; register it with the block"
        )
    return found[0]


def _check(path: Path, name: str) -> None:
    """By content, whatever the file is called."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            first = file.read(2)
        raise ModelRefused(
            f"model {name} is {'a pickle or joblib file' if _pickled(first) else 'no skops file'}, and only skops "
            "files are loaded: a pickle runs code. Write it with skops.io.dump, or register it with the block"
        )
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if "schema.json" not in {member.filename for member in members}:
        raise ModelRefused(f"model {name} is a zip file without schema.json, so no skops file; write it with skops")
    if (size := sum(member.file_size for member in members)) > LARGEST:
        raise ModelRefused(f"model {name} unpacks to {size:,} bytes, and at most {LARGEST:,} are read")


def _pickled(first: bytes) -> bool:
    """Pickle's own opcodes, or the compressors that joblib puts around them."""
    return first.startswith((b"\x80", b"(", b"c", b"]", b"}", b"\x78", b"\x1f\x8b", b"BZ", b"\xfd7", b"\x04\x22"))


def _say(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]
