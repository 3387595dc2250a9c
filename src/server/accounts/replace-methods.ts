// A service with some of its methods replaced.

import type { Service } from '../service.ts'

/** The service with these methods; all others are bound to the original service. */
export const replaceMethods = (service: Service, methods: Partial<Service>): Service =>
  new Proxy(service, {
    get(target, name) {
      const own = methods[name as keyof Service]
      if (own !== undefined) return own
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
