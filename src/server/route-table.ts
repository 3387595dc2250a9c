// The table of routes. A new route is a row here, or a table of them that is named here.

import type { Route } from './route.ts'

export const routes: readonly Route[] = []
