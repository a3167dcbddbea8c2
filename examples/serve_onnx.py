"""Classify JPEG bytes with onnxruntime: no PyTorch model, no pixels.

    freqvision export runs/clothing/checkpoints/best.ckpt --to onnx --output clothing.onnx
    python examples/serve_onnx.py clothing.onnx photo.jpg
    python examples/serve_onnx.py clothing.onnx --port 8000
    curl --data-binary @photo.jpg localhost:8000

The ONNX file holds the input specification and the class names.
"""

import argparse
import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import onnxruntime

import freqvision as fv


class Classifier:
    """From JPEG bytes to names and probabilities.

    Args:
        path: ONNX file that ``freqvision export`` wrote.
    """

    def __init__(self, path: str) -> None:
        self.session = onnxruntime.InferenceSession(path, providers=onnxruntime.get_available_providers())
        metadata = self.session.get_modelmeta().custom_metadata_map
        self.decode = fv.Decoder(fv.FrequencySpec.from_json(metadata["freqvision.spec"]))
        self.names = json.loads(metadata["freqvision.classes"])

    def __call__(self, photos: list[bytes], top: int = 5) -> list[dict[str, float]]:
        """The most probable classes of each photo, best first."""
        channels = self.decode(photos).numpy()  # (B, C, h, w)
        (logits,) = self.session.run(None, {self.session.get_inputs()[0].name: channels})  # (B, classes)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares = odds / odds.sum(axis=1, keepdims=True)
        return [{self._name(i): float(row[i]) for i in np.argsort(-row)[:top]} for row in shares]

    def _name(self, index: int) -> str:
        return self.names[index] if self.names else str(index)


def serve(classify: Classifier, port: int) -> None:
    """Answer POST requests that carry a JPEG file with JSON."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            photo = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                status, answer = 200, classify([photo])[0]
            except ValueError as error:  # not a JPEG, truncated, …: the message says what
                status, answer = 400, {"error": str(error)}
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with HTTPServer(("localhost", port), Handler) as server:
        print(f"POST photos to http://localhost:{server.server_port}", flush=True)
        server.serve_forever()


def main() -> None:
    """Classify files, or serve requests."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="ONNX file that freqvision export wrote")
    parser.add_argument("photos", nargs="*", help="JPEG files")
    parser.add_argument("--port", type=int, help="serve on this port")
    options = parser.parse_args()
    if not options.photos and options.port is None:
        parser.error("name photos to classify, or a --port to serve on")
    classify = Classifier(options.model)
    for path in options.photos:
        print(path)
        for name, share in classify([Path(path).read_bytes()])[0].items():
            print(f"  {share:6.1%}  {name}")
    if options.port is not None:
        serve(classify, options.port)


if __name__ == "__main__":
    main()
