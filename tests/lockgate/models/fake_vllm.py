"""What tests start instead of vLLM: its command line, and a process beside it that does not end when asked to.

The served name says what it does: "serves", "crashes", "hangs" or "other" (serves another model).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WORKER = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(120)"


def main() -> None:
    assert sys.argv[1:3] == ["-m", "vllm.entrypoints.openai.api_server"]
    options = dict(zip(sys.argv[3::2], sys.argv[4::2], strict=False))
    name, folder = options["--served-model-name"], Path(options["--model"])
    worker = subprocess.Popen([sys.executable, "-c", WORKER])
    (folder / "seen.json").write_text(
        json.dumps({"pids": [os.getpid(), worker.pid], "env": dict(os.environ), "argv": sys.argv[1:]})
    )
    if name == "crashes":
        sys.stderr.write("(EngineCore pid=7) ERROR 11-24 [core.py:1] ValueError: the model has no head\n")
        sys.stderr.write("RuntimeError: Engine core initialization failed. See root cause above.\n")
        sys.exit(1)
    if name == "hangs":
        time.sleep(120)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"data": [{"id": "another" if name == "other" else name}]}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    ThreadingHTTPServer((options["--host"], int(options["--port"])), Handler).serve_forever()


if __name__ == "__main__":
    main()
