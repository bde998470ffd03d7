export * from "./dump";
export * from "./prefix";
export * from "./table";
