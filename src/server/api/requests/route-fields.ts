// How a response reports a router's decision: a field of the body, and headers.

import type { RouteReport } from '../../../route/router.ts'

/** The field `route` of a body; empty if no router decided. */
export const toRouteField = (route: RouteReport | undefined): { readonly route?: RouteReport } =>
  route ? { route } : {}

/** Header values hold printable ASCII. */
const toHeaderText = (text: string): string => text.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 500)

/** x-graft-expert (the base is `base`), x-graft-confidence, x-graft-reason, x-graft-upstream. */
export function createRouteHeaders(route: RouteReport | undefined): Record<string, string> {
  if (!route) return {}
  return {
    'x-graft-expert': toHeaderText(route.upstream ? 'upstream' : (route.expert ?? 'base')),
    'x-graft-confidence': String(route.confidence),
    'x-graft-reason': toHeaderText(route.reason),
    ...(route.upstream !== undefined && { 'x-graft-upstream': toHeaderText(route.upstream) }),
  }
}
