// Loaded before tests with random values: for one commit they begin at the same place each time, so that what passed passes again.
import fc from 'fast-check'

const seed = process.env.GATE_PROPERTY_SEED
if (seed !== undefined) fc.configureGlobal({ seed: Number(seed) })
