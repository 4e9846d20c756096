#!/usr/bin/env node
// Starts the compiled program; `npm run build` makes it.
import '../dist/index.js'
