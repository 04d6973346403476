"""Make the contourer that the configuration asks for."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import ValidationError

from gateway.cloud.contourer import Contourer
from gateway.cloud.dicomweb import DicomwebContourer
from gateway.cloud.protocol import ContourerIdentity
from gateway.cloud.sealed import SealedContourer
from gateway.cloud.tls import Certificate
from gateway.cloud.transport import Endpoint
from gateway.config import Config, Protection
from gateway.config import DicomwebContourer as DicomwebSettings
from gateway.config import SealedContourer as SealedSettings
from gateway.contourer.embedded import EmbeddedContourer
from gateway.errors import ConfigError, Word
from gateway.metrics import Metrics

__all__ = ["make_contourer"]


def make_contourer(config: Config, reply_seed: Callable[[str], bytes], metrics: Metrics) -> Contourer:
    """The client for `config.contourer`; nothing is started or connected yet.

    Parameters
    ----------
    config : Config
    reply_seed : callable
        Gives 96 secret bytes for a passage id, always the same.
    metrics : Metrics

    Raises
    ------
    ConfigError
        CONFIG_INVALID, if a file that the section names cannot be read or used.
    """
    settings = config.contourer
    if isinstance(settings, DicomwebSettings):
        return DicomwebContourer(settings, metrics)
    if isinstance(settings, SealedSettings):
        return SealedContourer(_endpoint(settings), reply_seed, metrics, retention_s=settings.retention_s)
    waived = {waiver.protection for waiver in config.lockdown.waivers}
    embedded = EmbeddedContourer(
        sorted({rule.model for rule in config.rules}), without_landlock=Protection.LANDLOCK in waived
    )
    return SealedContourer(
        embedded.endpoint, reply_seed, metrics, retention_s=settings.retention_s, companion=embedded
    )


def _endpoint(settings: SealedSettings) -> Endpoint:
    try:
        identity = ContourerIdentity.model_validate_json(settings.identity_file.read_bytes())
    except (OSError, ValidationError):
        raise ConfigError("CONFIG_INVALID", key=Word("contourer.identity_file")) from None
    certificate = None
    if settings.client_certificate_file is not None and settings.client_key_file is not None:
        try:
            certificate = Certificate(
                settings.client_certificate_file.read_bytes(), settings.client_key_file.read_bytes()
            )
            certificate.check()
        except (OSError, ValueError):
            raise ConfigError("CONFIG_INVALID", key=Word("contourer.client_certificate_file")) from None
    return Endpoint(settings.url, identity, certificate, settings.region)
