"""Partial results survive the journey through bytes, to the bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from scimage.blocks import pack, unpack

DTYPES = st.one_of(
    npst.integer_dtypes(endianness="?"), npst.unsigned_integer_dtypes(endianness="?"),
    npst.floating_dtypes(endianness="?"), npst.complex_number_dtypes(), npst.boolean_dtypes(),
)  # fmt: skip
ARRAYS = npst.arrays(DTYPES, npst.array_shapes(min_dims=0, min_side=0))
PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), ARRAYS),
    lambda inner: st.lists(inner, max_size=4).map(tuple),
    max_leaves=12,
)


def assert_same(one, other):
    assert type(one) is type(other)
    if isinstance(one, tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    elif isinstance(one, float):
        assert math.isnan(one) == math.isnan(other)
        assert math.isnan(one) or one.hex() == other.hex()
    else:
        assert one == other


@given(PLAIN)
def test_plain_data_come_back_as_they_were(data):
    packed = pack(data)
    assert type(packed) is bytes
    assert_same(unpack(packed), data)
    assert pack(unpack(packed)) == packed


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_in_any_layout_come_back_with_equal_values(order):
    array = np.array(np.arange(60.0).reshape(3, 4, 5), order=order)
    for view in (array, array[::2, ::-1], array.T, array[:, 1:1]):
        np.testing.assert_array_equal(unpack(pack(view)), view)
        assert pack(view) == pack(view.copy())


def test_arrays_come_back_read_only():
    with pytest.raises(ValueError, match="read-only"):
        unpack(pack(np.zeros(3)))[0] = 1


@pytest.mark.parametrize(
    "data",
    [[1], {"a": 1}, {1}, object(), np.float64(1), np.array([None]), (1, (2, [3])), len, 1j],
    ids=lambda data: type(data).__name__,
)
def test_what_is_no_plain_data_is_refused(data):
    with pytest.raises(TypeError, match="no plain data"):
        pack(data)
