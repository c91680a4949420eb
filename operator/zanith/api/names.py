"""Group, version, names, labels and annotations of the API. Contract with users: never rename one."""

GROUP = "zanith.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "ZanithMigration"
PLURAL = "zanithmigrations"
SHORT_NAME = "zm"
MAX_NAME_LENGTH = 52

APPROVE = f"{GROUP}/approve"
RETRY = f"{GROUP}/retry"
HOLD = f"{GROUP}/hold"

LABEL_MIGRATION_UID = f"{GROUP}/migration-uid"
LABEL_ATTEMPT = f"{GROUP}/attempt"
ANNOTATION_RETRY_USED = f"{GROUP}/retry-used"
ANNOTATION_PLAN_HASH = f"{GROUP}/plan-hash"
