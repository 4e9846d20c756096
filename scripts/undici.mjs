// What gate uses of undici, in its place in the bundles. Its own entry reads fetch, WebSocket, caches and mocks as well, and
// with them node's own copy of all that: 60 ms of every command. Only the build knows; the sources import undici.

import api from 'undici/lib/api/index.js'
import buildConnector from 'undici/lib/core/connect.js'
import errors from 'undici/lib/core/errors.js'
import Agent from 'undici/lib/dispatcher/agent.js'
import Client from 'undici/lib/dispatcher/client.js'
import Dispatcher from 'undici/lib/dispatcher/dispatcher.js'

// As undici's entry does it.
Dispatcher.prototype.request = api.request

/** With a dispatcher, and GET where no method is said. */
function request(url, { dispatcher, method = 'GET', ...options }) {
  const { origin, pathname, search } = new URL(url)
  return dispatcher.request({ ...options, method, origin, path: pathname + search })
}

export { Agent, buildConnector, Client, errors, request }
