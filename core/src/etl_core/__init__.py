"""Move tables and change streams as Apache Arrow batches; the public names, loaded when first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from etl_core.config import (
        BatchPolicy,
        CommitPolicy,
        Duration,
        LoadSettings,
        Resources,
        RetryPolicy,
        SchemaPolicy,
        Secret,
        Size,
        parse_duration,
        parse_size,
        setting,
    )
    from etl_core.connectors import TransformStep
    from etl_core.deprecations import EtlDeprecationWarning
    from etl_core.document import Document
    from etl_core.engine.documents import run_document
    from etl_core.engine.manager import PipelineManager
    from etl_core.engine.observing import ObserverHub
    from etl_core.engine.pipeline import Pipeline
    from etl_core.errors import (
        AuthError,
        Cancelled,
        ConfigError,
        EtlError,
        FatalError,
        PipelineError,
        PluginError,
        PositionLostError,
        Problem,
        RejectedRowsError,
        RetryableError,
        SchemaError,
        StateError,
    )
    from etl_core.events import Event
    from etl_core.hookspecs import API, Registration, hookimpl
    from etl_core.interfaces import (
        Cancel,
        Context,
        DeadLetter,
        Destination,
        Executor,
        Loader,
        Metrics,
        Observer,
        Runner,
        Saved,
        Source,
        StateStore,
        Transform,
    )
    from etl_core.model import (
        COMMIT_TS,
        DELETED,
        OLD_KEY,
        OP,
        RESERVED,
        SEQ,
        UNCHANGED,
        AddColumn,
        Batch,
        Change,
        Delivery,
        DropColumn,
        Kind,
        Lag,
        Mode,
        Position,
        Rejected,
        RenameColumn,
        Step,
        Stream,
        StreamInfo,
        TableSchema,
        Transformed,
        WidenColumn,
        Write,
        pack_seq,
        unpack_seq,
    )
    from etl_core.plugins import PluginStatus, list_plugins
    from etl_core.resolve import load_document
    from etl_core.result import (
        CheckResult,
        DestinationTiming,
        PipelineCounts,
        PipelineResult,
        SourceTiming,
        StreamCounts,
    )
    from etl_core.schema import (
        COMMIT_TS_TYPE,
        OP_TYPE,
        SEQ_TYPE,
        UNCHANGED_TYPE,
        add_reserved,
        data_columns,
        key_of,
        old_key_type,
        reserved_schema,
        with_key,
    )

__all__ = [
    "API",
    "COMMIT_TS",
    "COMMIT_TS_TYPE",
    "DELETED",
    "OLD_KEY",
    "OP",
    "OP_TYPE",
    "RESERVED",
    "SEQ",
    "SEQ_TYPE",
    "UNCHANGED",
    "UNCHANGED_TYPE",
    "AddColumn",
    "AuthError",
    "Batch",
    "BatchPolicy",
    "Cancel",
    "Cancelled",
    "Change",
    "CheckResult",
    "CommitPolicy",
    "ConfigError",
    "Context",
    "DeadLetter",
    "Delivery",
    "Destination",
    "DestinationTiming",
    "Document",
    "DropColumn",
    "Duration",
    "EtlDeprecationWarning",
    "EtlError",
    "Event",
    "Executor",
    "FatalError",
    "Kind",
    "Lag",
    "LoadSettings",
    "Loader",
    "Metrics",
    "Mode",
    "Observer",
    "ObserverHub",
    "Pipeline",
    "PipelineCounts",
    "PipelineError",
    "PipelineManager",
    "PipelineResult",
    "PluginError",
    "PluginStatus",
    "Position",
    "PositionLostError",
    "Problem",
    "Registration",
    "Rejected",
    "RejectedRowsError",
    "RenameColumn",
    "Resources",
    "RetryPolicy",
    "RetryableError",
    "Runner",
    "Saved",
    "SchemaError",
    "SchemaPolicy",
    "Secret",
    "Size",
    "Source",
    "SourceTiming",
    "StateError",
    "StateStore",
    "Step",
    "Stream",
    "StreamCounts",
    "StreamInfo",
    "TableSchema",
    "Transform",
    "TransformStep",
    "Transformed",
    "WidenColumn",
    "Write",
    "add_reserved",
    "data_columns",
    "hookimpl",
    "key_of",
    "list_plugins",
    "load_document",
    "old_key_type",
    "pack_seq",
    "parse_duration",
    "parse_size",
    "reserved_schema",
    "run_document",
    "setting",
    "unpack_seq",
    "with_key",
]

#: The module (below etl_core) each public name lives in.
_HOMES = {
    "config": (
        "BatchPolicy CommitPolicy Duration LoadSettings Resources RetryPolicy SchemaPolicy Secret Size "
        "parse_duration parse_size setting"
    ),
    "connectors": "TransformStep",
    "deprecations": "EtlDeprecationWarning",
    "document": "Document",
    "engine.documents": "run_document",
    "engine.manager": "PipelineManager",
    "engine.observing": "ObserverHub",
    "engine.pipeline": "Pipeline",
    "errors": (
        "AuthError Cancelled ConfigError EtlError FatalError PipelineError PluginError PositionLostError "
        "Problem RejectedRowsError RetryableError SchemaError StateError"
    ),
    "events": "Event",
    "hookspecs": "API Registration hookimpl",
    "interfaces": (
        "Cancel Context DeadLetter Destination Executor Loader Metrics Observer Runner Saved Source "
        "StateStore Transform"
    ),
    "model": (
        "COMMIT_TS DELETED OLD_KEY OP RESERVED SEQ UNCHANGED AddColumn Batch Change Delivery DropColumn "
        "Kind Lag Mode Position Rejected RenameColumn Step Stream StreamInfo TableSchema Transformed "
        "WidenColumn Write pack_seq unpack_seq"
    ),
    "plugins": "PluginStatus list_plugins",
    "resolve": "load_document",
    "result": "CheckResult DestinationTiming PipelineCounts PipelineResult SourceTiming StreamCounts",
    "schema": (
        "COMMIT_TS_TYPE OP_TYPE SEQ_TYPE UNCHANGED_TYPE add_reserved data_columns key_of old_key_type "
        "reserved_schema with_key"
    ),
}
_HOME_OF = {name: f"etl_core.{module}" for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        from etl_core.deprecations import value_of

        return value_of(__name__, name)  # not kept: everybody who uses it is to see the warning
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
