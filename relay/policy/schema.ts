// The form of a policy file, as people write it.
import { duration } from '@gate/shared/duration'
import * as z from 'zod'

const groupName = z.string().min(1).max(256)
const groups = z.array(groupName).min(1).max(200)
const ruleName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'expected a name of lower-case letters, digits and dashes')
const label = z.string().max(256)

/** Whom something is about: members of `groups` (everyone when absent) who are in none of `except`. */
const audience = z.strictObject({ groups: groups.optional(), except: groups.optional() })
export type Audience = z.infer<typeof audience>

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

const hold = z.strictObject({
  approvers: z.string().max(512),
  expires: duration(1_000, 7 * DAY_MS).default(15 * 60_000),
  /** Clients that are not patient are refused at once, and pass when they come again with what was approved. */
  mode: z.enum(['wait', 'retry']).default('wait'),
  /** An approver may let the person repeat what the rule holds, for at most so long. */
  grants: z.strictObject({ max: duration(1_000, 30 * DAY_MS) }).optional(),
  /** Ask the target what it expects the command to do, and tell the approvers. */
  estimate: z.boolean().default(false),
  /** Who may pass with --break-glass. */
  break_glass: groups.optional(),
})

/** How long people may think about rows that are written: others wait for their locks meanwhile. */
export const rowHoldMs = 60_000

/** Rows that are written cannot come again. */
const rowHold = hold.extend({
  mode: z.literal('wait').default('wait'),
  expires: duration(1_000, HOUR_MS).default(rowHoldMs),
})

const recordLevel = z.literal('full')

const rule = z
  .strictObject({
    name: ruleName,
    when: z.string().min(1).max(4096).optional(),
    for: audience.optional(),
    allow: groups.optional(),
    deny: z.string().min(1).max(1024).optional(),
    hold: hold.optional(),
    /** Commands that the rule applies to are recorded as they were sent, too, sealed for the recipients in relay.yaml. */
    record: recordLevel.optional(),
    limit: z
      .strictObject({
        rows: z.int().min(1).max(1_000_000_000),
        then: z.enum(['hold', 'deny']),
        hold: rowHold.optional(),
      })
      .optional(),
  })
  .check(context => {
    const { value } = context
    const effects = [value.allow, value.deny, value.hold].filter(effect => effect !== undefined).length
    const issue = (message: string): void => {
      context.issues.push({ code: 'custom', message, input: value })
    }
    if (effects !== 1) issue('expected exactly one of allow, deny, hold')
    if (value.limit !== undefined && value.deny !== undefined) issue('a rule that denies has no limit')
    if (value.limit?.then === 'hold' && value.limit.hold === undefined && value.hold === undefined) {
      issue('limit.then is hold: expected limit.hold with approvers')
    }
  })

/** One to three parts of a column's full name; `*` stands for any one name. */
const columnPattern = z
  .string()
  .regex(/^(?:[^.*\s]+|\*)(?:\.(?:[^.*\s]+|\*)){1,2}$/, 'expected schema.table.column, table.column or *.column')

const routePattern = /^(?:\/[^{}/*\s?#]*(?:\{[A-Za-z0-9_-]{1,64}\}[^{}/*\s?#]*)*)*(?:\/\*\*)?$/

/** Whether a text can be a route's template. */
export const isRouteTemplate = (text: string): boolean => text !== '' && text.length <= 1024 && routePattern.test(text)

/** A path whose parts are names or `{parameter}`; `/**` at its end stands for all that begin like it. */
const routeTemplate = z.string().refine(isRouteTemplate, 'expected a path such as /users/{id}')

/** Names joined by dots: `*` stands for any one name, `**` for any number of them. What stands for a part of one would hit nothing. */
const fieldPattern = z
  .string()
  .max(1024)
  .regex(
    /^(?:\*{1,2}|[^.*\s]+)(?:\.(?:\*{1,2}|[^.*\s]+))*$/,
    'expected names joined by dots, such as customers.email or **.ssn',
  )
  .refine(pattern => !/^\$\.|[[\]]/.test(pattern), 'expected names alone: arrays have none, nor has the document')
  .refine(pattern => !pattern.endsWith('**'), 'expected a name after **')

const headerName = z
  .string()
  .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/, 'expected the name of a header')
  .transform(name => name.toLowerCase())

const mask = z
  .strictObject({
    columns: z.array(columnPattern).min(1).max(1000).optional(),
    detect: z
      .array(
        z.enum(['credit-card', 'email', 'us-ssn', 'iban', 'phone', 'ip', 'api-key', 'jwt', 'private-key', 'secret']),
      )
      .min(1)
      .optional(),
    /** Of answers that are documents: JSON, CSV, forms. */
    fields: z.array(fieldPattern).min(1).max(1000).optional(),
    headers: z.array(headerName).min(1).max(100).optional(),
    /** Routes whose answers the fields and headers are in; all when absent. */
    routes: z.array(routeTemplate).min(1).max(1000).optional(),
    for: audience.optional(),
    with: z.enum(['redact', 'partial', 'hash', 'null', 'fixed']),
    value: z.string().max(256).optional(),
    computed: z.enum(['deny', 'mask']).default('deny'),
    predicates: z.enum(['allow', 'equality', 'deny']).default('equality'),
  })
  .check(context => {
    const { value } = context
    const { columns, detect, fields, headers, routes } = value
    const isFields = fields !== undefined || headers !== undefined
    if ([columns !== undefined, detect !== undefined, isFields].filter(Boolean).length !== 1) {
      const message = 'expected exactly one of columns, detect, fields and headers'
      context.issues.push({ code: 'custom', message, input: value })
    }
    if (routes !== undefined && !isFields)
      context.issues.push({ code: 'custom', message: 'routes go with fields and headers', input: value })
    if ((value.with === 'fixed') !== (value.value !== undefined)) {
      context.issues.push({ code: 'custom', message: 'value goes with `with: fixed`, and only with it', input: value })
    }
  })

const targetBlock = z.strictObject({
  match: z.strictObject({
    name: z.union([z.string(), z.array(z.string()).min(1)]).optional(),
    labels: z.record(label, z.union([label, z.array(label).min(1)])).optional(),
  }),
  /** Who may open a connection at all. */
  allow: z.strictObject({ groups }),
  /** Who, beside the person, may read the records of sessions. */
  viewers: groups.optional(),
  /** Who, beside the person, may end sessions, and who may lock the target. */
  operators: groups.optional(),
  /** The same of all commands. */
  record: recordLevel.optional(),
  /** HTTP: templates of paths; a request's `op.route` is the most exact that fits it. */
  routes: z.array(routeTemplate).max(1000).optional(),
  /** HTTP: an OpenAPI description whose paths are routes, too; relative to this file. */
  openapi: z.string().max(4096).optional(),
  /** HTTP: headers of requests that rules see in `op.headers`. */
  headers: z.array(headerName).max(100).optional(),
  /** HTTP: what becomes of `%2F` in paths: refused, or a part of its segment, as GitLab, npm and RabbitMQ mean it. */
  encoded_slashes: z.enum(['refuse', 'keep']).optional(),
  /** HTTP: what becomes of `;name=value` in paths: refused, or kept for services that tell it from the name before it. */
  path_parameters: z.enum(['refuse', 'keep']).optional(),
  rules: z.array(rule).max(1000).default([]),
  mask: z.array(mask).max(1000).default([]),
})

export const policyFile = z.strictObject({ targets: z.array(targetBlock).max(1000) })

export type PolicyFile = z.infer<typeof policyFile>
export type TargetBlock = PolicyFile['targets'][number]
export type HoldText = z.infer<typeof hold>
export type RuleText = TargetBlock['rules'][number]
export type MaskText = TargetBlock['mask'][number]
