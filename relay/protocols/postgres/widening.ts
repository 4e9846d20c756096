// Casts between PostgreSQL's own types that keep every value apart from every other. Pure.

/** OIDs of the types whose values all fit: src/include/catalog/pg_type.dat. */
const INT8 = 20
const INT2 = 21
const INT4 = 23
const FLOAT4 = 700
const DATE = 1082

const fitting: Readonly<Record<string, readonly number[]>> = {
  int4: [INT2],
  int8: [INT2, INT4],
  numeric: [INT2, INT4, INT8],
  float8: [INT2, INT4, FLOAT4],
  timestamp: [DATE],
}

/** Whether values of some type are cast to it whole. */
export const isWidening = (name: string): boolean => Object.hasOwn(fitting, name)

/** Whether a value of the type is cast to the other whole. */
export const keepsWhole = (from: number | undefined, to: string): boolean =>
  from !== undefined && fitting[to]?.includes(from) === true
