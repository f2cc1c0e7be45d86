"""Settings of where the originals of documents are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from core.origins import is_page


class StorageSettings(BaseSettings):
    """The part of `Settings` that is about storage; without a bucket it is the folder DATA_DIR/files."""

    s3_bucket: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$")
    """With it originals are kept in this bucket, which has to be there."""
    s3_endpoint: str | None = None
    """Of a compatible server, such as `http://127.0.0.1:9000`; by default Amazon's, of the region."""
    s3_region: str = Field("us-east-1", pattern=r"^[A-Za-z0-9-]{1,64}$")
    s3_access_key_id: SecretStr | None = None
    """Without a key the client looks where Amazon's tools do: the environment, a profile, the machine's role."""
    s3_secret_access_key: SecretStr | None = None
    s3_prefix: str | None = Field(None, pattern=r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$", max_length=512)
    """What names of objects begin with, where the bucket has others."""
    s3_addressing: Literal["path", "virtual"] | None = None
    """By default `path` (`host/bucket`) at an endpoint of one's own, `virtual` (`bucket.host`) at Amazon's."""
    s3_root_certificates: Path | None = None
    """PEM file with the authorities to trust there instead of the public ones."""
    s3_timeout: float = Field(30.0, gt=0)
    """Seconds that one request may take, its second and third try among them."""

    @field_validator("s3_endpoint")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None and (not is_page(value) or "?" in value):
            raise ValueError("expected http(s)://host, or http(s)://host:port, with no name, no ? and no #")
        return value
