"""The registry's application as a module, which is what other servers ask for."""

from safegene_registry.app import create_app
from safegene_registry.log import configure_logging
from safegene_registry.settings import Settings

settings = Settings()
configure_logging(settings.log_format, settings.log_level)
app = create_app(settings)
