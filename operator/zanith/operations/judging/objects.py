"""Judges everything beside tables, indexes and rows: triggers, policies, functions, types, roles, publications, ..."""

from __future__ import annotations

from zanith.core.identifiers import TableKey
from zanith.core.risk import ReasonCode, RiskLevel
from zanith.core.sql_statements import Tree, nodes
from zanith.core.statement import Lock, Work
from zanith.operations.judging.calls import named_like_builtin
from zanith.operations.judging.composites import users_of_type
from zanith.operations.judging.indexes import judge_drop_index
from zanith.operations.judging.tables import judge_drop_schema, judge_drop_table
from zanith.operations.judging.verdict import Scope, Verdict, is_on, names, opaque, options, refused


def judge_drop(tree: Tree, scope: Scope) -> Verdict:
    """DROP of anything that has no statement of its own. CASCADE takes along what nobody has listed."""
    kind = tree["remove_type"].removeprefix("OBJECT_")
    if kind == "TABLE":
        return judge_drop_table(tree, scope)
    if kind == "INDEX":
        return judge_drop_index(tree, scope)
    if kind == "SCHEMA":
        return judge_drop_schema(tree, scope)
    what = f"DROP {_WORDS.get(kind, kind.replace('_', ' '))}"
    if kind in ("TRIGGER", "POLICY", "RULE"):
        verdict = _drop_of_table(what, kind, tree, scope)
    elif kind == "EXTENSION":
        verdict = _drop_extension(what, tree, scope)
    elif kind == "STATISTIC_EXT":
        verdict = Verdict(what, elsewhere=Lock.SHARE_UPDATE_EXCLUSIVE)
    elif kind == "MATVIEW":
        views = [scope.named(given[:-1], given[-1]) for given in _dropped(tree)]
        verdict = _fails_who_names(Verdict(what, locks=dict.fromkeys(views, Lock.ACCESS_EXCLUSIVE)), views)
    elif kind == "PUBLICATION":
        verdict = Verdict(what, RiskLevel.MEDIUM).with_finding(
            RiskLevel.MEDIUM, ReasonCode.REPLICATION_IMPACT, "its subscribers get nothing more"
        )
    else:
        verdict = Verdict(what, RiskLevel.MEDIUM, unseen=kind in ("VIEW", "TYPE", "DOMAIN"))
        if kind in ("VIEW", "SEQUENCE", "FOREIGN_TABLE"):
            keys = [scope.named(given[:-1], given[-1]) for given in _dropped(tree)]
            verdict = verdict.joined(Verdict("", locks=dict.fromkeys(keys, Lock.ACCESS_EXCLUSIVE)))
            verdict = _fails_who_names(verdict, keys) if kind == "VIEW" else verdict
    if tree.get("behavior") != "DROP_CASCADE":
        return verdict
    users = (
        [t for given in _dropped(tree) for t in users_of_type(scope, given[-1])] if kind in ("TYPE", "DOMAIN") else []
    )
    cascading = Verdict(
        "", locks=dict.fromkeys(users, Lock.ACCESS_EXCLUSIVE), elsewhere=Lock.ACCESS_EXCLUSIVE, unseen=True
    )
    return verdict.joined(cascading).with_finding(
        RiskLevel.DESTRUCTIVE,
        ReasonCode.DROPS_COLUMN_WITH_DATA if users else ReasonCode.BREAKS_DEPENDENTS,
        "CASCADE drops what depends on it as well, columns and their data among it",
        "drop what depends on it first, one by one",
    )


def _drop_extension(what: str, tree: Tree, scope: Scope) -> Verdict:
    """As dropExtension has it: tables of the extension go with it, and their rows."""
    gone = names(tree["objects"])
    tables = sorted(key for key, owner in scope.facts.extension_tables.items() if owner in gone)
    locks = dict.fromkeys(tables, Lock.ACCESS_EXCLUSIVE)
    verdict = Verdict(what, RiskLevel.HIGH, locks, unseen=True).with_finding(
        RiskLevel.HIGH, ReasonCode.DROPS_EXTENSION, "its types, functions and operators are gone"
    )
    for table in tables:
        verdict = verdict.with_finding(
            RiskLevel.DESTRUCTIVE,
            ReasonCode.DROPS_TABLE_WITH_DATA,
            f"table {table} belongs to extension {scope.facts.extension_tables[table]} and goes with its rows",
        )
    return verdict


def _fails_who_names(verdict: Verdict, views: list[TableKey]) -> Verdict:
    return verdict.with_finding(
        RiskLevel.HIGH, ReasonCode.BREAKS_DEPENDENTS, f"what names {', '.join(map(str, views))} fails from now on"
    )


_WORDS = {"MATVIEW": "MATERIALIZED VIEW", "STATISTIC_EXT": "STATISTICS"}


def _dropped(tree: Tree) -> list[list[str]]:
    """What is dropped by name: of types, and of what a list of names tells."""
    return [names(o["type_name"]["names"] if "type_name" in o else o["list"]["items"]) for o in tree["objects"]]


def _drop_of_table(what: str, kind: str, tree: Tree, scope: Scope) -> Verdict:
    verdict = Verdict(what, RiskLevel.MEDIUM, unseen=True)
    for *table, _ in _dropped(tree):
        key = scope.named(table[:-1], table[-1])
        verdict = verdict.joined(Verdict("", locks=dict.fromkeys(scope.family(key), Lock.ACCESS_EXCLUSIVE)))
        if kind == "POLICY":
            verdict = _row_security(verdict, key)
    return verdict


def _row_security(verdict: Verdict, key: TableKey) -> Verdict:
    return verdict.with_finding(
        RiskLevel.MEDIUM, ReasonCode.RLS_CHANGE, f"which rows of {key} a role sees changes at once"
    )


def judge_policy(tree: Tree, scope: Scope) -> Verdict:
    key = scope.key(tree["table"])
    locks = {key: Lock.ACCESS_EXCLUSIVE}
    return _row_security(Verdict("CREATE or ALTER POLICY", RiskLevel.MEDIUM, locks, unseen=True), key)


def judge_trigger(tree: Tree, scope: Scope) -> Verdict:
    key = scope.key(tree["relation"])
    locks = dict.fromkeys(scope.family(key) or [key], Lock.SHARE_ROW_EXCLUSIVE)
    if "constrrel" in tree:
        locks[scope.key(tree["constrrel"])] = Lock.SHARE_ROW_EXCLUSIVE
    return Verdict("CREATE TRIGGER", RiskLevel.MEDIUM, locks, unseen=True).with_finding(
        RiskLevel.MEDIUM, ReasonCode.USER_TRIGGERS_FIRE, f"its code runs with every such change of {key} from now on"
    )


def judge_rule(tree: Tree, scope: Scope) -> Verdict:
    key = scope.key(tree["relation"])
    return Verdict("CREATE RULE", RiskLevel.HIGH, {key: Lock.ACCESS_EXCLUSIVE}, unseen=True).with_finding(
        RiskLevel.HIGH, ReasonCode.BREAKS_DEPENDENTS, f"statements on {key} do something else than they say from now on"
    )


def judge_comment(tree: Tree, scope: Scope) -> Verdict:
    """COMMENT ON, SECURITY LABEL."""
    given = names(tree.get("object", {}).get("list", {}).get("items"))
    kind = tree["objtype"]
    table: list[str] = []
    if kind in ("OBJECT_TABLE", "OBJECT_MATVIEW"):
        table = given
    elif kind in ("OBJECT_COLUMN", "OBJECT_TABCONSTRAINT", "OBJECT_TRIGGER", "OBJECT_POLICY", "OBJECT_RULE"):
        table = given[:-1]
    locks = {}
    if table:
        locks = dict.fromkeys(scope.family(scope.named(table[:-1], table[-1]))[:1], Lock.SHARE_UPDATE_EXCLUSIVE)
    return Verdict("COMMENT", locks=locks)


def judge_grant(tree: Tree, scope: Scope) -> Verdict:
    tables = [scope.key(o["range_var"]) for o in tree.get("objects", ()) if "range_var" in o]
    locks = {t: Lock.ACCESS_SHARE for t in tables if scope.table(t) is not None}
    granted = bool(tree.get("is_grant"))
    level = RiskLevel.LOW if granted else RiskLevel.MEDIUM
    verdict = Verdict("GRANT" if granted else "REVOKE", level, locks, elsewhere=Lock.ACCESS_SHARE)
    kind = tree["objtype"].removeprefix("OBJECT_")
    all_of_it = "privileges" not in tree or tree.get("targtype") == "ACL_TARGET_ALL_IN_SCHEMA"
    if granted or not (all_of_it or kind in ("SCHEMA", "DATABASE")):
        return verdict
    return verdict.with_finding(
        RiskLevel.HIGH, ReasonCode.BREAKS_DEPENDENTS, "statements of roles that had the right fail from now on"
    )


def judge_publication(tree: Tree, scope: Scope) -> Verdict:
    relations = [r["pubtable"]["relation"] for r in nodes(tree, "publication_obj_spec") if "pubtable" in r]
    keys = [part for r in relations for part in scope.family(scope.key(r))]
    everything = bool(tree.get("for_all_tables")) or len(relations) < len(tree.get("pubobjects", ()))
    verdict = Verdict(
        "PUBLICATION",
        RiskLevel.MEDIUM,
        dict.fromkeys(keys, Lock.SHARE_UPDATE_EXCLUSIVE),
        elsewhere=Lock.SHARE_UPDATE_EXCLUSIVE if everything else Lock.NONE,
    ).with_finding(RiskLevel.MEDIUM, ReasonCode.REPLICATION_IMPACT, "what subscribers are sent changes")
    bare = [k for k in keys if (table := scope.table(k)) is not None and table.primary_key is None]
    for key in bare:
        verdict = verdict.with_finding(
            RiskLevel.HIGH,
            ReasonCode.PUBLISHED_WITHOUT_REPLICA_IDENTITY,
            f"{key} has no primary key: UPDATE and DELETE on it fail once it is published, unless it has another "
            "REPLICA IDENTITY",
        )
    return verdict


def judge_statistics(tree: Tree, scope: Scope) -> Verdict:
    relations = [r["range_var"] for r in tree.get("relations", ()) if "range_var" in r]
    return Verdict("CREATE STATISTICS", locks={scope.key(r): Lock.SHARE_UPDATE_EXCLUSIVE for r in relations})


def judge_function(tree: Tree, scope: Scope) -> Verdict:
    verdict = Verdict("CREATE FUNCTION")
    if tree.get("replace"):
        verdict = Verdict("CREATE OR REPLACE FUNCTION", RiskLevel.MEDIUM)
    return _standing_in(verdict, names(tree.get("funcname")), scope)


def judge_define(tree: Tree, scope: Scope) -> Verdict:
    """CREATE AGGREGATE, OPERATOR, TYPE, COLLATION, TEXT SEARCH ..."""
    verdict = Verdict(f"CREATE {tree['kind'].removeprefix('OBJECT_').replace('_', ' ')}")
    code = tree["kind"] in ("OBJECT_AGGREGATE", "OBJECT_OPERATOR")
    return _standing_in(verdict, names(tree.get("defnames")), scope) if code else verdict


def _standing_in(verdict: Verdict, given: list[str], scope: Scope) -> Verdict:
    """Code under the name of something of PostgreSQL's own is called instead of it where its types fit better."""
    if not named_like_builtin(given[-1], scope):
        return verdict
    return verdict.with_finding(
        RiskLevel.HIGH,
        ReasonCode.OPAQUE_CODE,
        f"PostgreSQL has a {given[-1]} of its own: what means that one may call this from now on",
        "give it another name",
    )


def judge_cast(tree: Tree, scope: Scope) -> Verdict:
    """CREATE CAST. An implicit one is used by statements that do not name it."""
    if tree.get("context") not in ("COERCION_IMPLICIT", "COERCION_ASSIGNMENT"):
        return Verdict("CREATE CAST", RiskLevel.MEDIUM)
    return Verdict("CREATE CAST").with_finding(
        RiskLevel.HIGH, ReasonCode.OPAQUE_CODE, "statements that do not name it use it from now on"
    )


def judge_default_privileges(tree: Tree, scope: Scope) -> Verdict:
    granted = tree["action"].get("is_grant")
    return Verdict("ALTER DEFAULT PRIVILEGES", RiskLevel.LOW if granted else RiskLevel.MEDIUM)


def judge_settings(tree: Tree, scope: Scope) -> Verdict:
    """ALTER DATABASE and ALTER ROLE ... SET: for every session that begins from now on."""
    database = "dbname" in tree
    whose = f"database {tree['dbname']}" if database else f"role {tree.get('role', {}).get('rolename', 'ALL')}"
    name = tree.get("setstmt", {}).get("name", "all settings")
    return Verdict("ALTER DATABASE ... SET" if database else "ALTER ROLE ... SET").with_finding(
        RiskLevel.HIGH, ReasonCode.BREAKS_DEPENDENTS, f"{name} changes for every new session of {whose}"
    )


def judge_foreign_schema(tree: Tree, scope: Scope) -> Verdict:
    """IMPORT FOREIGN SCHEMA asks another server, for as long as that takes, and makes what it says."""
    return Verdict("IMPORT FOREIGN SCHEMA", RiskLevel.MEDIUM, work=Work.SCAN, unseen=True)


def judge_extension(tree: Tree, scope: Scope) -> Verdict:
    """Its script runs as long as it needs; what it makes is new, so that nobody waits."""
    return Verdict("CREATE EXTENSION", RiskLevel.MEDIUM, work=Work.SCAN, unseen=True).with_finding(
        RiskLevel.MEDIUM, ReasonCode.ADDS_EXTENSION, f"the script of extension {tree['extname']} runs"
    )


def judge_create_schema(tree: Tree, scope: Scope) -> Verdict:
    if "schema_elts" in tree:
        return refused("CREATE SCHEMA", "what is created in the schema needs statements of its own, to be judged")
    return Verdict("CREATE SCHEMA")


def judge_enum(tree: Tree, scope: Scope) -> Verdict:
    """A new label cannot be used before its transaction is over."""
    renames = "old_val" in tree
    return Verdict("ALTER TYPE", RiskLevel.MEDIUM if renames else RiskLevel.LOW)


def judge_role(tree: Tree, scope: Scope) -> Verdict:
    if is_on("password" in options(tree)):
        return refused(
            "CREATE or ALTER ROLE", "the audit keeps the SQL of a migration, and a password has no place in it"
        )
    verdict = Verdict("CREATE or ALTER ROLE", RiskLevel.MEDIUM)
    given, altered = options(tree), "stmt_type" not in tree
    shut_out = not is_on(given.get("canlogin", True)) or bool({"connectionlimit", "validUntil"} & set(given))
    if altered and shut_out:
        verdict = verdict.with_finding(
            RiskLevel.HIGH, ReasonCode.BREAKS_DEPENDENTS, "who connects as the role may be refused from now on"
        )
    if not any(is_on(options(tree).get(power, False)) for power in ("superuser", "bypassrls", "isreplication")):
        return verdict
    return verdict.with_finding(
        RiskLevel.HIGH, ReasonCode.RAW_SQL, "the role may see and change everything, whatever rights say"
    )


def judge_membership(tree: Tree, scope: Scope) -> Verdict:
    """GRANT and REVOKE of roles. Those of PostgreSQL's own reach beyond the database."""
    verdict = Verdict("GRANT or REVOKE ROLE", RiskLevel.MEDIUM)
    powers = [p["access_priv"].get("priv_name", "") for p in tree.get("granted_roles", ())]
    mighty = next((p for p in powers if tree.get("is_grant") and p.startswith("pg_")), None)
    if mighty is None:
        return verdict
    return verdict.with_finding(
        RiskLevel.HIGH, ReasonCode.RAW_SQL, f"members of {mighty} reach what no right of the database gives them"
    )


def judge_foreign_server(tree: Tree, scope: Scope) -> Verdict:
    """Servers and user mappings: the options of a mapping are credentials."""
    if any("password" in name or "passfile" in name for name in options(tree)):
        return refused("USER MAPPING", "the audit keeps the SQL of a migration, and a password has no place in it")
    return Verdict("FOREIGN SERVER or USER MAPPING", RiskLevel.MEDIUM)


def judge_new_subscription(tree: Tree, scope: Scope) -> Verdict:
    return refused(
        "SUBSCRIPTION", "its connection string may hold a password, and the audit keeps the SQL of a migration"
    )


def judge_subscription(tree: Tree, scope: Scope) -> Verdict:
    if "conninfo" in tree:
        return judge_new_subscription(tree, scope)
    return Verdict("SUBSCRIPTION", RiskLevel.HIGH, transactional=False).with_finding(
        RiskLevel.HIGH, ReasonCode.REPLICATION_IMPACT, "what this database is sent by another one changes"
    )


def judge_everything_of(what: str) -> Verdict:
    """Statements over everything that somebody owns or that is in a tablespace."""
    return opaque(what, f"which objects {what} changes cannot be told before")
