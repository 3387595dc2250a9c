// Lets a program of this project import the clients that are installed here:
// node --import ./test/clients/resolve-clients.mjs examples/clients/openai.mjs

import { registerHooks } from 'node:module'

registerHooks({
  resolve(name, context, next) {
    try {
      return next(name, context)
    } catch (error) {
      if (error?.code !== 'ERR_MODULE_NOT_FOUND' || name.startsWith('.')) throw error
      return next(name, { ...context, parentURL: import.meta.url })
    }
  },
})
