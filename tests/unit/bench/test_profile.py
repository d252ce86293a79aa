"""What `perf report` prints becomes shares of the parts of a daemon."""

from __future__ import annotations

from tests.bench import page, report
from tests.bench.profile import shares

REPORT = """
# Samples: 3K of event 'cpu-clock:ppp'
# Overhead  Shared Object                                         Symbol
    45.34%  libpython3.11.so.1.0                                  [.] _PyEval_EvalFrameDefault   -      -
    30.20%  [kernel.kallsyms]                                     [k] __pi_memcpy                -      -
    13.00%  [tun]                                                 [k] tun_do_read
     8.27%  schemefs_core__mypyc.cpython-311-x86_64-linux-gnu.so  [.] CPyDef_queue___DriverQueue___take
     1.42%  libc.so.6                                             [.] malloc
     0.77%  python3.12                                            [.] PyObject_GetAttr
     0.07%  _libfuse_hooks.cpython-311-x86_64-linux-gnu.so        [.] process
"""


def test_each_part_has_its_share() -> None:
    assert shares(REPORT)["parts"] == {"kernel": 43.2, "interpreter": 46.1, "core": 8.3, "other": 1.5}


def test_compiled_functions_have_their_python_names() -> None:
    assert [function["name"] for function in shares(REPORT)["functions"]] == [
        "_PyEval_EvalFrameDefault", "__pi_memcpy", "tun_do_read", "queue.DriverQueue.take", "malloc",
    ]  # fmt: skip


def test_the_page_and_the_lines_show_it() -> None:
    profile = {"measurement": "receive", **shares(REPORT)}
    assert report.profile_line(profile).startswith(
        "profile of receive: kernel 43.2 %, interpreter 46.1 %, core 8.3 %, other 1.5 %; most in _PyEval"
    )
    assert (
        page.profiles([profile])[0] == "| our daemon in | kernel, % | interpreter, % | core, % | other, % | most in |"
    )
    assert page.profiles([profile])[2].startswith(
        "| `receive` | 43.2 | 46.1 | 8.3 | 1.5 | _PyEval_EvalFrameDefault 45.3 %,"
    )
