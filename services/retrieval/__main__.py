"""`python -m services.retrieval`: run the retrieval service of the platform that the settings describe."""

from __future__ import annotations

from services.kit import logging
from services.kit.serving import serve
from services.kit.settings import Platform
from services.retrieval.app import create_app
from services.retrieval.settings import RetrievalSettings


def main() -> None:
    """Serve until SIGTERM, then close the index."""
    logging.configure("retrieval")
    platform = Platform()
    serve(create_app(platform, RetrievalSettings()), platform.retrieval_url, platform.listen_host)


if __name__ == "__main__":
    main()
