"""A gateway that leaks on purpose, for controls: what it does is done before the first instance is parsed.

It runs from a `sitecustomize` on the path, which changes the vault as it is imported and nothing of the program itself.
"""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

_LEAK = """
    import importlib.abc, importlib.util, os, sys, tempfile

    class Leak(importlib.abc.MetaPathFinder):
        '''No lockdown, and each dataset goes to a removed file, to the log and to a label of a metric.'''

        def find_spec(self, name, path, target=None):
            if name != "gateway.app":
                return None
            sys.meta_path.remove(self)
            spec = importlib.util.find_spec(name)
            run = spec.loader.exec_module

            def exec_module(module):
                run(module)
                import gateway.logs
                from gateway.flow.accept import Accept
                from gateway.vault.lockdown import Lockdown
                module.lock_down = lambda waivers: Lockdown((), ())
                parse = Accept._parse

                async def leaking(self, request):
                    data = bytes(request.dataset)
                    with tempfile.NamedTemporaryFile() as file:
                        file.write(data)
                        file.flush()
                        os.fsync(file.fileno())
                    word = data[data.find(b"QVPID"):][:15].decode("ascii")
                    sys.stderr.write(word + "\\n")
                    sys.stderr.flush()
                    self._metrics.instances_total.labels(word, "accepted").inc()
                    return await parse(self, request)

                Accept._parse = leaking

            spec.loader.exec_module = exec_module
            return spec

    sys.meta_path.insert(0, Leak())
"""


def leaking(folder: Path) -> dict[str, str]:
    """Write the leak into a new folder; the environment that makes a gateway leak."""
    folder.mkdir(parents=True)
    (folder / "sitecustomize.py").write_text(textwrap.dedent(_LEAK))
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(Path(__file__).parents[2])])}
