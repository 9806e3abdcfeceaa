"""The globals that a pickle of a model may import, by the flavour of the model.

A list of what is good, not of what is bad: a name that is not here is code that
somebody has to look at. Classes of the libraries are taken by the shape of their
names; functions only one by one, for a function can do anything.
"""

from __future__ import annotations

import io
import logging
import re
import sys
from functools import cache

from picklescan import scanner

logging.getLogger("picklescan").setLevel(logging.CRITICAL)  # its finds are ours to tell

_CLASS = re.compile(r"_{0,2}[A-Z]\w*")
_CYTHON = re.compile(r"__pyx_unpickle_\w+")

_ANYWHERE = {
    "builtins": "bool bytearray bytes complex dict float frozenset int list object "
    "range set slice str tuple",
    "collections": "OrderedDict defaultdict deque Counter",
    "copyreg": "_reconstructor",
    "_codecs": "encode",
    "datetime": "date datetime time timedelta timezone",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "uuid": "UUID",
    "pathlib": "PosixPath PurePosixPath",
    "numpy": "ndarray dtype matrix bool_ int8 int16 int32 int64 uint8 uint16 uint32 "
    "uint64 float16 float32 float64 longdouble complex64 complex128 str_ bytes_ object_ "
    "datetime64 timedelta64 log log1p log2 log10 exp expm1 sqrt cbrt square abs absolute "
    "sign sin cos tan tanh arcsinh maximum minimum isnan mean median nanmean nanmedian",
    "numpy._core.multiarray": "_reconstruct scalar",
    "numpy._core.numeric": "_frombuffer",
    "numpy.random": "RandomState Generator",
    "numpy.random._pickle": "__randomstate_ctor __generator_ctor __bit_generator_ctor",
    "numpy.random._mt19937": "MT19937",
    "numpy.random.bit_generator": "SeedSequence __pyx_unpickle_SeedSequence",
    "numpy.random._pcg64": "PCG64 PCG64DXSM",
    "numpy.ma": "MaskedArray",
    "numpy.ma.core": "MaskedArray _mareconstruct",
    "joblib.numpy_pickle": "NumpyArrayWrapper",
    "scipy.sparse._csr": "csr_matrix csr_array",
    "scipy.sparse._csc": "csc_matrix csc_array",
    "scipy.sparse._coo": "coo_matrix coo_array",
    "scipy.sparse._dia": "dia_matrix dia_array",
}
_PANDAS_FUNCTIONS = {
    "pandas._libs.internals": "_unpickle_block",
    "pandas.core.indexes.base": "_new_Index",
    "pandas.core.indexes.datetimes": "_new_DatetimeIndex",
    "pandas._libs.tslibs.timestamps": "_unpickle_timestamp",
}
_SKLEARN_FUNCTIONS = {
    "sklearn.metrics._dist_metrics": "newObj",
    "sklearn.neighbors._kd_tree": "newObj",
    "sklearn.neighbors._ball_tree": "newObj",
    "scipy.special._ufuncs": "expit logit",
}
_TORCH_FUNCTIONS = {
    "torch": "FloatStorage DoubleStorage HalfStorage BFloat16Storage LongStorage "
    "IntStorage ShortStorage CharStorage ByteStorage BoolStorage Size device float32 "
    "float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool",
    "torch._utils": "_rebuild_tensor_v2 _rebuild_parameter",
    "torch.storage": "UntypedStorage TypedStorage",
}

# flavour -> packages whose classes are fine
_PACKAGES = {
    "sklearn": ("sklearn", "scipy.interpolate"),
    "xgboost": ("xgboost.core", "xgboost.sklearn", "sklearn"),
    "lightgbm": ("lightgbm.basic", "lightgbm.sklearn", "sklearn"),
    "catboost": ("catboost.core", "sklearn"),
    "statsmodels": ("statsmodels", "patsy.design_info", "pandas.core"),
    "prophet": ("prophet.forecaster",),
    "pytorch": ("torch.nn.modules", "torch.nn.parameter"),
}
_PANDAS_PACKAGES = (
    "pandas.core.frame",
    "pandas.core.series",
    "pandas.core.indexes",
    "pandas.core.internals",
    "pandas.core.arrays",
    "pandas.core.dtypes",
    "pandas._libs.arrays",
    "pandas._libs.tslibs",
)
_FUNCTIONS = {
    "sklearn": (_SKLEARN_FUNCTIONS, _PANDAS_FUNCTIONS),
    "xgboost": (_SKLEARN_FUNCTIONS,),
    "lightgbm": (_SKLEARN_FUNCTIONS,),
    "catboost": (_SKLEARN_FUNCTIONS,),
    "statsmodels": (_PANDAS_FUNCTIONS,),
    "pytorch": (_TORCH_FUNCTIONS,),
}
# Their classes fetch, read files, or run something.
_NOT_EVEN_CLASSES = ("sklearn.datasets", "sklearn.externals", "sklearn.utils._testing")
_OLD_NAMES = {"__builtin__": "builtins", "copy_reg": "copyreg"}


def is_allowed(module: str, name: str, flavors: frozenset[str]) -> bool:
    """Tell whether a pickle of a model of these flavours may import a global."""
    module = _OLD_NAMES.get(module, module)
    module = re.sub(r"^numpy\.core\.", "numpy._core.", module)
    if name in _names(flavors).get(module, frozenset()):
        return True
    if module == "numpy.dtypes":
        return bool(_CLASS.fullmatch(name))
    if _is_in(module, _NOT_EVEN_CLASSES):
        return False
    looks_inert = _CLASS.fullmatch(name) or _CYTHON.fullmatch(name)
    return bool(looks_inert) and _is_in(module, _packages(flavors))


def carries_code(module: str) -> bool:
    """Tell whether a global is one by which a pickle brings functions of its own."""
    return module.split(".")[0] in {"cloudpickle", "dill"}


def serves_code(module: str) -> bool:
    """Tell whether a module is one that functions in a pickle need for their parts."""
    helpers = {"cloudpickle", "dill", "builtins", "types", "operator", "functools"}
    return _OLD_NAMES.get(module, module).split(".")[0] in helpers


def is_dangerous(module: str, name: str) -> bool:
    """Tell whether a global belongs to an attack rather than to somebody's model.

    picklescan keeps a list of what attacks were seen with.
    """
    if "\n" in f"{module}{name}":
        return True
    text = f"c{module}\n{name}\n.".encode(errors="replace")
    return bool(scanner.scan_pickle_bytes(io.BytesIO(text), "global").issues_count)


def is_standard(module: str) -> bool:
    """Tell whether a module is of Python itself, which a model rarely needs."""
    return _OLD_NAMES.get(module, module).split(".")[0] in sys.stdlib_module_names


@cache
def _names(flavors: frozenset[str]) -> dict[str, frozenset[str]]:
    tables = [_ANYWHERE, *(t for f in sorted(flavors) for t in _FUNCTIONS.get(f, ()))]
    merged: dict[str, frozenset[str]] = {}
    for table in tables:
        for module, names in table.items():
            merged[module] = merged.get(module, frozenset()) | set(names.split())
    return merged


@cache
def _packages(flavors: frozenset[str]) -> tuple[str, ...]:
    more = [package for flavor in flavors for package in _PACKAGES.get(flavor, ())]
    return (*_PANDAS_PACKAGES, *more)


def _is_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == p or module.startswith(f"{p}.") for p in packages)
