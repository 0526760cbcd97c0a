"""Names of spans' attributes and of metrics, in one place, because conventions move.

Stable: HTTP and database (OpenTelemetry semantic conventions v1.44). In development: messaging (v1.44, `nats` is no
well-known system) and gen_ai (open-telemetry/semantic-conventions-genai). Ours: the prefix `smartroute.`.
"""

ERROR_TYPE = "error.type"

HTTP_METHOD = "http.request.method"
HTTP_ROUTE = "http.route"
HTTP_STATUS = "http.response.status_code"
HTTP_RESEND_COUNT = "http.request.resend_count"
URL_PATH = "url.path"
URL_SCHEME = "url.scheme"

DB_SYSTEM = "db.system.name"
DB_NAMESPACE = "db.namespace"
DB_OPERATION = "db.operation.name"
DB_SUMMARY = "db.query.summary"
DB_BATCH_SIZE = "db.operation.batch.size"

MESSAGING_SYSTEM = "messaging.system"
MESSAGING_OPERATION = "messaging.operation.name"
MESSAGING_OPERATION_TYPE = "messaging.operation.type"
MESSAGING_DESTINATION = "messaging.destination.name"
MESSAGING_MESSAGE_ID = "messaging.message.id"
MESSAGING_CONSUMER_GROUP = "messaging.consumer.group.name"

GEN_AI_OPERATION = "gen_ai.operation.name"
GEN_AI_PROVIDER = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL = "gen_ai.request.model"
GEN_AI_REQUEST_STREAM = "gen_ai.request.stream"
GEN_AI_FINISH_REASONS = "gen_ai.response.finish_reasons"
GEN_AI_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
GEN_AI_INPUT_TOKENS = "gen_ai.usage.input_tokens"
GEN_AI_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
GEN_AI_TOKEN_TYPE = "gen_ai.token.type"

ACCOUNT_ID = "smartroute.account.id"
TOKEN_ID = "smartroute.token.id"
REQUEST_ID = "smartroute.request.id"
REQUEST_TRACE_ID = "smartroute.request.trace_id"
PLAN = "smartroute.plan"
ALIAS_ASKED = "smartroute.alias.asked"
ALIAS_SERVED = "smartroute.alias.served"
OUTCOME = "smartroute.outcome"
ADMISSION = "smartroute.admission"
ATTEMPTS = "smartroute.attempts"
TARGET = "smartroute.target"
ROUTE_TIER = "smartroute.route.tier"
ROUTE_RULE = "smartroute.route.rule"
