export declare const kernelSources: Readonly<Record<string, string>>
export declare function compiledKernels(
  root: string,
  source: string,
): Promise<{ readonly text: string; readonly sizes: Readonly<Record<string, number>> }>
