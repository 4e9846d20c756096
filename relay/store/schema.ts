// The store's tables as TypeScript sees them. Times are milliseconds since 1970 in bigint columns, read as numbers.
import type { ColumnType, Generated, JSONColumnType } from 'kysely'

/** A JSON column: written as text, read as a value. */
type Json<T extends object> = JSONColumnType<T, string, string>

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
    started_ms: number
    ended_ms: number | null
    end_code: string | null
    commands: ColumnType<number, number | undefined, number>
    refused: ColumnType<number, number | undefined, number>
    held: ColumnType<number, number | undefined, number>
    first_event: number
    last_event: number | null
  }
  /** A held command that waits for people. */
  requests: {
    id: string
    session_id: string
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
    command_hash: string
    policy: string
    state: 'waiting' | 'approved' | 'denied' | 'expired' | 'withdrawn'
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
  }
}
