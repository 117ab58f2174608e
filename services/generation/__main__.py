"""`python -m services.generation`: run the generation service of the platform that the settings describe."""

from __future__ import annotations

from services.generation.app import create_app
from services.generation.service import Generation
from services.generation.settings import GenerationSettings
from services.kit import logging
from services.kit.serving import serve
from services.kit.settings import Platform


def main() -> None:
    """Serve until SIGTERM, then stop every slot."""
    logging.configure("generation")
    platform = Platform()
    app = create_app(Generation(platform, GenerationSettings()))
    serve(app, platform.generation_url, platform.listen_host)


if __name__ == "__main__":
    main()
