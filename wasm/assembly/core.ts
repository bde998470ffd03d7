export * from "./prefix";
export * from "./table";
