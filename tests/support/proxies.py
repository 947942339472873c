"""A server between a client and another server."""

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MADE_HERE = ("transfer-encoding", "content-length", "connection", "date", "server")


@contextlib.contextmanager
def between(to: str, turn: Callable[[str, bytes], bytes | None] = lambda path, data: data) -> Iterator[str]:
    """The address of a server whose answers are those of another one, turned.

    ``turn`` takes path and answer; where it returns None the request is done, but its answer never arrives.
    """

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do(self) -> None:
            self.close_connection = True
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            upstream = http.client.HTTPConnection(to.removeprefix("http://"), timeout=60)
            try:
                upstream.request(self.command, self.path, body, {k: v for k, v in self.headers.items() if k != "Host"})
                answer = upstream.getresponse()
                data = turn(self.path, answer.read())
            except OSError:
                return
            finally:
                upstream.close()
            if data is None:
                return
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in MADE_HERE:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do

        def log_message(self, *arguments) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
