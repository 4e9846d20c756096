// The store's tables as TypeScript sees them. Times are milliseconds since 1970 in bigint columns, read as numbers.
import type { SignedDecision } from '@gate/shared/approval'
import type { ColumnType, Generated, JSONColumnType } from 'kysely'

/** A JSON column: written as text, read as a value. */
type Json<T extends object> = JSONColumnType<T, string, string>
type NullableJson<T extends object> = ColumnType<T | null, string | null, string | null>

export interface Schema {
  /** One login of a person at this group of relays; open connections hang on it. */
  logins: {
    id: string
    subject_id: string
    issuer: string
    email: string | null
    name: string | null
    groups: Json<string[]>
    created_ms: number
    /** When the newest token of the login expires, unless it is renewed. */
    expires_ms: number
    /** When the login ends even if it is renewed. */
    ends_ms: number
    /** Set by logout. */
    ended_ms: number | null
  }
  /** Opaque session tokens, by hash only. */
  tokens: {
    hash: string
    login_id: string
    expires_ms: number
  }
  enrolments: {
    token_hash: string
    agent: string
    targets: Json<string[]>
    created_ms: number
    expires_ms: number
    used_ms: number | null
  }
  agents: {
    name: string
    /** Ed25519 public key, SubjectPublicKeyInfo in base64url. */
    public_key: string
    targets: Json<string[]>
    enrolled_ms: number
    revoked_ms: number | null
  }
  /** Every target that an agent ever announced, so that it can be named while no agent is online. */
  targets: {
    name: string
    protocol: string
    labels: Json<Record<string, string>>
    options: Json<Record<string, string>>
    agent: string
    announced_ms: number
  }
  /** One row per connection to a target: a summary; the record itself is in the relay's files. */
  sessions: {
    id: string
    login_id: string
    subject_id: string
    email: string | null
    groups: Json<string[]>
    target: string
    protocol: string
    labels: Json<Record<string, string>>
    agent: string | null
    relay: string
    task: string | null
    reason: string | null
    program: string | null
    /** Where it came from; null of sessions from before that was written down. */
    client_address: string | null
    started_ms: number
    ended_ms: number | null
    end_code: string | null
    commands: ColumnType<number, number | undefined, number>
    refused: ColumnType<number, number | undefined, number>
    held: ColumnType<number, number | undefined, number>
    first_event: number
    last_event: number | null
    /** Which row of session_targets its target was. */
    target_key: string
  }
  /** Targets with the labels they had when somebody used them: policy goes by these when it says who may see a session. */
  session_targets: {
    key: string
    name: string
    protocol: string
    labels: Json<Record<string, string>>
  }
  /** Where each relay that shares the store is reached. */
  relays: {
    id: string
    url: string
    started_ms: number
  }
  /** What sessions are found by: `action:…`, `rule:…`, `word:…`, once per session. */
  session_terms: {
    term: string
    started_ms: number
    session_id: string
  }
  /** Who looked at a session. */
  session_views: {
    session_id: string
    relay: string
    sequence: number
    time_ms: number
    by_id: string
  }
  /** Sessions all of whose events were deleted by age: when, and which event of their relay's record says so. */
  deleted_sessions: {
    id: string
    relay: string
    sequence: number
    deleted_ms: number
  }
  /** The newest event of each relay's record that the tables above know. */
  record_positions: {
    relay: string
    sequence: number
  }
  /** Sessions that somebody ended; done when their relay has. */
  session_kills: {
    session_id: string
    relay: string
    by_id: string
    by_email: string | null
    reason: string
    asked_ms: number
    done_ms: number | null
  }
  /** A person, a target or an agent that nobody may use, until then or until it is taken away. */
  locks: {
    id: string
    kind: 'user' | 'target' | 'agent'
    name: string
    reason: string
    by_id: string
    by_email: string | null
    created_ms: number
    until_ms: number | null
    removed_ms: number | null
    removed_by: string | null
  }
  /** A held command, or a wish for a grant, that waits for people. */
  requests: {
    id: string
    kind: 'command' | 'grant'
    session_id: string | null
    relay: string
    subject_id: string
    email: string | null
    groups: Json<string[]>
    target: string
    protocol: string
    task: string | null
    reason: string | null
    rule: string
    approvers: string
    action: string
    operation: Json<object>
    /** SHA-256 of the exact command and of its parameters; of a grant there are none. */
    command_hash: string | null
    parameters_hash: string | null
    /** The command as text and its parameters in base64, for approvers to hash themselves. */
    exact: NullableJson<{ command: string; parameters: string }>
    context: Json<Record<string, string>>
    /** What the person did before in the same session. */
    history: Json<object[]>
    estimate: NullableJson<{ rows: number; detail: string }>
    /** How long a grant was asked for. */
    grant_ms: number | null
    /** How long one may be given for, when the rule permits any. */
    grant_max_ms: number | null
    /** Nobody's connection waits for it: its command is sent again. */
    later: Generated<boolean>
    /** Signed along, so that a signature fits one request only. */
    nonce: string
    policy: string
    state: 'waiting' | 'approved' | 'used' | 'denied' | 'expired' | 'withdrawn'
    created_ms: number
    expires_ms: number
    settled_ms: number | null
  }
  decisions: {
    id: Generated<number>
    request_id: string
    subject_id: string
    email: string | null
    groups: Json<string[]>
    verdict: 'approve' | 'deny'
    reason: string | null
    decided_ms: number
    signed: NullableJson<SignedDecision>
    grant_ms: number | null
  }
  /** Public keys with which people sign their decisions. */
  approver_keys: {
    id: string
    subject_id: string
    email: string | null
    /** Ed25519 public key, SubjectPublicKeyInfo in base64url. */
    public_key: string
    label: string
    created_ms: number
    revoked_ms: number | null
  }
  /** A person may repeat what one rule holds on one target, for a time. */
  grants: {
    id: string
    request_id: string
    subject_id: string
    email: string | null
    target: string
    rule: string
    approvers: string
    created_ms: number
    expires_ms: number
    revoked_ms: number | null
    revoked_by: string | null
  }
  /** Somebody broke the glass; somebody else has to look at what they did. */
  reviews: {
    id: string
    session_id: string
    subject_id: string
    email: string | null
    target: string
    reason: string
    /** Quorums of the rules that would have held: who may close it. */
    approvers: Json<string[]>
    opened_ms: number
    closed_ms: number | null
    closed_by: string | null
    closed_email: string | null
    note: string | null
  }
}
